"""The four tables, and what keeps them equal to the log, the catalogue and the clients.

`{movies}`, `{users}`, `{ratings}` and `{clients}` stand for the tables that people query, behind
their schema; names without a schema are Nextup's own. Each trigger works in the transaction that
wrote the event, the film or the client: neither is ever there without the other.
"""

from __future__ import annotations

from alembic import op

from nextup.recipes.platform_api.naming import NAMES

revision = "platform_api_0001"
down_revision = None
branch_labels = None

TABLES = """
CREATE TABLE {movies} (
    movie_id text COLLATE "C" PRIMARY KEY,
    title text NOT NULL,
    genres text[] NOT NULL,
    year integer
);
CREATE TABLE {users} (
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    vector real[],
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, user_id)
);
CREATE TABLE {ratings} (
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    movie_id text COLLATE "C" NOT NULL,
    rating double precision,
    rated_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, user_id, movie_id)
);
CREATE INDEX ON {ratings} (movie_id);
CREATE TABLE {clients} (
    client_id text COLLATE "C" PRIMARY KEY,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN {users}.vector IS 'as the model in service folds the person in; null: not yet';
COMMENT ON COLUMN {ratings}.rating IS 'the last one given; null: liked or sent without stars';
"""

VIEWS = """
CREATE FUNCTION platform_moment(microseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT timestamptz 'epoch' + microseconds * interval '1 microsecond' $$;

CREATE FUNCTION platform_words(list text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT ARRAY(SELECT jsonb_array_elements_text(list::jsonb)) $$;

CREATE VIEW platform_movies AS
SELECT item_id AS movie_id, title,
       platform_words(genres) AS genres, year::integer AS year
FROM items;

CREATE VIEW platform_acts AS
SELECT split_part(user_id, '/', 1) AS client_id,
       substr(user_id, strpos(user_id, '/') + 1) AS user_id,
       user_id AS stored_id, item_id AS movie_id, type,
       CASE type WHEN 'rating' THEN value END AS rating,
       platform_moment(occurred_at) AS rated_at, "offset"
FROM events
WHERE strpos(user_id, '/') > 0 AND type <> 'impression';

CREATE VIEW platform_ratings AS
SELECT DISTINCT ON (stored_id, movie_id)
       client_id, user_id, movie_id, rating, rated_at, stored_id
FROM platform_acts
WHERE type IN ('rating', 'like')
ORDER BY stored_id, movie_id, rating IS NULL, rated_at DESC, "offset" DESC;

CREATE VIEW platform_clients AS
SELECT client_id, password_hash, platform_moment(created_at) AS created_at
FROM clients WHERE revoked_at IS NULL;
"""

FUNCTIONS = """
CREATE FUNCTION platform_take_events() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    slash integer := strpos(NEW.user_id, '/');
    client text := left(NEW.user_id, slash - 1);
    person text := substr(NEW.user_id, slash + 1);
    stars double precision := CASE NEW.type WHEN 'rating' THEN NEW.value END;
BEGIN
    IF slash = 0 OR NEW.type = 'impression' THEN
        RETURN NULL;
    END IF;
    INSERT INTO {users} (client_id, user_id) VALUES (client, person) ON CONFLICT DO NOTHING;
    IF NEW.type IN ('rating', 'like') THEN
        INSERT INTO {ratings} AS kept (client_id, user_id, movie_id, rating, rated_at)
        VALUES (client, person, NEW.item_id, stars, platform_moment(NEW.occurred_at))
        ON CONFLICT (client_id, user_id, movie_id) DO UPDATE
        SET rating = excluded.rating, rated_at = excluded.rated_at
        WHERE CASE
            WHEN (kept.rating IS NULL) = (excluded.rating IS NULL)
            THEN excluded.rated_at >= kept.rated_at
            ELSE kept.rating IS NULL
        END;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_forget_events() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    CREATE TEMPORARY TABLE platform_forgotten ON COMMIT DROP AS
    SELECT DISTINCT user_id AS stored_id FROM gone;
    DELETE FROM {ratings} USING platform_forgotten
    WHERE client_id || '/' || user_id = stored_id;
    INSERT INTO {ratings} (client_id, user_id, movie_id, rating, rated_at)
    SELECT client_id, user_id, movie_id, rating, rated_at
    FROM platform_ratings JOIN platform_forgotten USING (stored_id);
    DELETE FROM {users} USING platform_forgotten
    WHERE client_id || '/' || user_id = stored_id
      AND NOT EXISTS (SELECT FROM platform_acts acts
                      WHERE acts.stored_id = platform_forgotten.stored_id);
    DROP TABLE platform_forgotten;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_take_movies() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO {movies} (movie_id, title, genres, year)
    VALUES (NEW.item_id, NEW.title, platform_words(NEW.genres), NEW.year)
    ON CONFLICT (movie_id) DO UPDATE
    SET title = excluded.title, genres = excluded.genres, year = excluded.year;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_forget_movies() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM {movies} USING gone WHERE movie_id = gone.item_id;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_take_clients() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.revoked_at IS NOT NULL THEN
        DELETE FROM {clients} WHERE client_id = NEW.client_id;
    ELSE
        INSERT INTO {clients} (client_id, password_hash, created_at)
        VALUES (NEW.client_id, NEW.password_hash, platform_moment(NEW.created_at))
        ON CONFLICT (client_id) DO UPDATE SET password_hash = excluded.password_hash;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_forget_clients() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM {clients} AS named USING gone WHERE named.client_id = gone.client_id;
    RETURN NULL;
END $$;

CREATE FUNCTION platform_empty() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'events' THEN
        TRUNCATE {users}, {ratings};
    ELSIF TG_TABLE_NAME = 'items' THEN
        TRUNCATE {movies};
    ELSE
        TRUNCATE {clients};
    END IF;
    RETURN NULL;
END $$;
"""

FOLLOWED = {"events": "events", "items": "movies", "clients": "clients"}
"""Nextup's tables, and what the functions for each are called after."""

TRIGGERS = """
CREATE TRIGGER platform_take AFTER INSERT OR UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION platform_take_{what}();
CREATE TRIGGER platform_forget AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION platform_forget_{what}();
CREATE TRIGGER platform_empty AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION platform_empty();
"""

FILL = """
INSERT INTO {movies} SELECT movie_id, title, genres, year FROM platform_movies;
INSERT INTO {users} (client_id, user_id) SELECT DISTINCT client_id, user_id FROM platform_acts;
INSERT INTO {ratings} (client_id, user_id, movie_id, rating, rated_at)
SELECT client_id, user_id, movie_id, rating, rated_at FROM platform_ratings;
INSERT INTO {clients} SELECT client_id, password_hash, created_at FROM platform_clients;
"""


def upgrade() -> None:
    """Make everything, and fill the tables with what is there."""
    names = op.get_context().opts[NAMES]
    for text in (TABLES, VIEWS, FUNCTIONS):
        _run(text.format(**names))
    for table, what in FOLLOWED.items():
        _run(TRIGGERS.format(table=table, what=what))
    _run(FILL.format(**names))


def downgrade() -> None:
    """Drop everything; the log, the catalogue and the clients stay."""
    names = op.get_context().opts[NAMES]
    for table in FOLLOWED:
        for trigger in ("take", "forget", "empty"):
            _run(f"DROP TRIGGER platform_{trigger} ON {table}")
    for what in FOLLOWED.values():
        _run(f"DROP FUNCTION platform_take_{what}, platform_forget_{what}")
    _run("DROP FUNCTION platform_empty")
    _run("DROP VIEW platform_ratings, platform_acts, platform_movies, platform_clients")
    _run("DROP FUNCTION platform_moment, platform_words")
    _run("DROP TABLE {movies}, {users}, {ratings}, {clients}".format(**names))


def _run(text: str) -> None:
    """As it is: its colons are no parameters."""
    op.get_bind().exec_driver_sql(text.replace("%", "%%"))
