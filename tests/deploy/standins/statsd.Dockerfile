# Stands in for prom/statsd-exporter: the same program, built from its module.
ARG BASE
FROM ${BASE}
COPY --from=program . /opt/statsd/
USER nobody
ENTRYPOINT ["/opt/statsd/statsd_exporter"]
