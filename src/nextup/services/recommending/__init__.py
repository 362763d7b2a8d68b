"""The parts of a recommendation, one file each; `services.recommend` puts them in order."""
