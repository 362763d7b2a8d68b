# Stands in for mongo: mongo-java-server over H2, which has neither users nor transactions.
ARG JAVA
FROM ${JAVA}
COPY --from=jars . /opt/mongodb/
COPY --from=program . /opt/mongodb/program/
RUN useradd --uid 999 mongodb && install -d -o mongodb /data/db
USER mongodb
ENTRYPOINT ["java", "-Xmx256m", "-cp", "/opt/mongodb/*:/opt/mongodb/program", "Server", "/data/db/mongo", "27017"]
