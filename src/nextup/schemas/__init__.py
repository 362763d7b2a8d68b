"""What data must look like, as files that the checking code itself loads."""
