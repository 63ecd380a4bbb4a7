# The image: one binary, no shell, a user without rights. Built from the repository: docker build -t pointsman .
#
#   docker run -p 8080:8080 -v ./pointsman.toml:/etc/pointsman/pointsman.toml:ro -v pointsman:/var/lib/pointsman pointsman
#
# The state is in the volume, since STATE_DIRECTORY says so. Replace the container instead of upgrading in place: the
# first process of a container cannot hand over to another one.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY console console
COPY config config
RUN cargo build --locked --profile dist --bin pointsman \
    && strip --strip-all target/dist/pointsman -o /pointsman \
    && mkdir /state

# With glibc, which the binary is linked to, and the authorities of the web.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /pointsman /usr/bin/pointsman
COPY --from=build --chown=65532:65532 /state /var/lib/pointsman
ENV STATE_DIRECTORY=/var/lib/pointsman
USER 65532:65532
VOLUME ["/var/lib/pointsman"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# The binary itself asks its admin API, on 127.0.0.1:9900 unless POINTSMAN_ADMIN says otherwise.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/bin/pointsman", "probe"]
ENTRYPOINT ["/usr/bin/pointsman"]
CMD ["run", "--config", "/etc/pointsman/pointsman.toml"]
