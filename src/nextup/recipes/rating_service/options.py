"""What this recipe can be told beside the settings of every platform."""

from pydantic import NonNegativeFloat, PositiveInt

from nextup.settings_servers import Section


class Options(Section):
    """The table `[options]` of its nextup.toml."""

    ratings_file: str = "ratings/ratings.csv"  # of `files_url`: what the training reads
    ratings_rows: PositiveInt = 10_000  # of the log that are written to it at once
    ratings_seconds: NonNegativeFloat = 1.0  # how often it grows
    published_url: str = "mongodb://localhost:27017/movies_db"  # everybody's list, by `[mongodb]`
    lists_topic: str = "recommendations"  # the same lists, on their way to Redis
    lists_group: str = "nextup-recommendations"  # the consumers that bring them there
