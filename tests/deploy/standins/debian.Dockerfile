# Stands in for redis and postgres: Debian's packages of the same servers, with the
# commands and variables of the public images that compose.yaml uses.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends redis-server postgresql \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/*
COPY postgres-entrypoint.sh /usr/local/bin/
RUN install -d -o postgres /var/lib/postgresql/data && install -d -o redis /data
WORKDIR /data
ENTRYPOINT ["/usr/local/bin/postgres-entrypoint.sh"]
