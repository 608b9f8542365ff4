# dispa in a container that intercepts the programs of the host: see docs/install.md, Docker.
#   docker build --tag dispa .
# Only docker-compose.yml, or what it says, gives it the network, the cgroups and the capabilities it needs.

FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
# Installs what is missing to compile for BPF, then builds.
RUN cargo xtask build --release && strip target/release/dispa

FROM debian:bookworm-slim
COPY --from=build /build/target/release/dispa /usr/bin/dispa
COPY config/service.toml /app/config/config.toml
# It starts as root with the capabilities that it is given, and drops them before it reads from the network.
WORKDIR /app
RUN mkdir -p logs data
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["dispa", "status", "--json", "-c", "/app/config/config.toml"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dispa"]
CMD ["-c", "/app/config/config.toml"]
