FROM debian:bookworm-slim AS build
LABEL dkv.stage=build
RUN apt-get update -q && \
    apt-get install -y -q --no-install-recommends build-essential autoconf automake libtool \
        pkg-config libevent-dev libjansson-dev liblmdb-dev libxxhash-dev && \
    rm -rf /var/lib/apt/lists/*
COPY . /src
WORKDIR /build
RUN cd /src && ./autogen.sh && cd /build && \
    /src/configure -q --prefix=/usr --sysconfdir=/etc --localstatedir=/var --with-systemdsystemunitdir=no && \
    make -j"$(nproc)" && make install-strip DESTDIR=/image && \
    rm -rf /image/usr/include /image/usr/share /image/usr/lib/pkgconfig /image/etc

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="dkv" \
      org.opencontainers.image.description="A distributed key-value store with Raft, REST and storage plugins" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update -q && \
    apt-get install -y -q --no-install-recommends libevent-core-2.1-7 libevent-pthreads-2.1-7 libjansson4 \
        liblmdb0 libxxhash0 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* && \
    groupadd --gid 10001 dkv && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/dkv --shell /usr/sbin/nologin dkv && \
    install -d -m 700 -o 10001 -g 10001 /var/lib/dkv
COPY --from=build /image/ /
# A port of a container is reached from outside only if it is not bound to its loopback.
ENV DKV_HTTP_LISTEN=0.0.0.0:8500 DKV_NODE_DATA_DIR=/var/lib/dkv
USER 10001:10001
VOLUME /var/lib/dkv
EXPOSE 8500 8300
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=2s --start-period=5s --retries=15 CMD ["dkvd", "--health"]
ENTRYPOINT ["dkvd"]
