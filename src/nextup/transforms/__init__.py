"""What is done to tables: frames in, frames out, no I/O. The engines bring the frames."""
