# Stands in for apache/hadoop: the same jars behind the same `hdfs` command.
ARG JAVA
FROM ${JAVA}
COPY --from=jars . /opt/hadoop/lib/
COPY hdfs.sh /usr/local/bin/hdfs
RUN for page in hdfs datanode; do \
      install -d /opt/hadoop/pages/webapps/$page/WEB-INF \
   && echo '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee"></web-app>' \
        > /opt/hadoop/pages/webapps/$page/WEB-INF/web.xml; \
    done
