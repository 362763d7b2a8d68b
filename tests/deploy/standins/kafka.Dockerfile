# Stands in for apache/kafka: the same jars, configured by the same KAFKA_ variables.
ARG JAVA
FROM ${JAVA}
COPY --from=jars . /opt/kafka/libs/
COPY kafka-entrypoint.sh /usr/local/bin/
RUN useradd --uid 1000 appuser && install -d -o appuser /var/lib/kafka/data
USER appuser
ENTRYPOINT ["/usr/local/bin/kafka-entrypoint.sh"]
