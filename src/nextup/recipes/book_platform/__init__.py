"""Books for readers: PostgreSQL to HDFS to Spark to Redis, once a day."""
