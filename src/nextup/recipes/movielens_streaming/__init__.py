"""MovieLens: films from files, and lists that follow a stream of ratings."""
