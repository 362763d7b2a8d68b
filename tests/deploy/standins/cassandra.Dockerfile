# Stands in for cassandra: the same jars, one node that has no neighbours to wait for.
ARG JAVA
FROM ${JAVA}
COPY --from=jars . /opt/cassandra/lib/
COPY cassandra.yaml cassandra-logback.xml /etc/cassandra/
COPY cassandra.sh /usr/local/bin/cassandra
RUN useradd --uid 999 cassandra && install -d -o cassandra /var/lib/cassandra
USER cassandra
ENTRYPOINT ["cassandra"]
