# An image of `eectl`: docker build --tag eectl .
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
# Members of the workspace, which Cargo expects.
COPY tests tests
COPY xtask xtask
RUN cargo build --locked --release --package ee-cli

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --create-home eectl
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/eectl/
COPY --from=build /src/target/release/eectl /usr/local/bin/eectl
USER 65532:65532
WORKDIR /home/eectl
ENTRYPOINT ["eectl"]
