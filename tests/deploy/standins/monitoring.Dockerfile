# Stands in for prom/prometheus, prom/alertmanager and the exporters: Debian's packages of them.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager \
      prometheus-postgres-exporter prometheus-redis-exporter wget \
 && rm -rf /var/lib/apt/lists/* /etc/prometheus/* \
 && install -d -o nobody -g nogroup /prometheus /alertmanager
USER nobody
WORKDIR /prometheus
