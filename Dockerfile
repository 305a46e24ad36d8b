# Builds an image that holds the strata binary and nothing to run it with: no shell, no package manager, no libc.
#
#   docker build --build-arg VERSION=1.2.3 -t strata .
#
# An edge wraps files again with programs, and a central tries whether they can be: that image has them beside the binary.
#
#   docker build --target edge --build-arg VERSION=1.2.3 -t strata-edge .
#
# The compiler runs on the builder's own platform and cross-compiles, so a build for arm64 on amd64 needs no emulation.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src

# Modules are a layer of their own: they change less often than the code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/strata ./cmd/proxy

# What a file system needs to have: a user, a place for data that the user may write to, and one for temporary files.
RUN mkdir -p /out/etc /out/data/strata /out/temp/tmp \
 && chmod 0700 /out/data/strata \
 && chmod 1777 /out/temp/tmp \
 && echo 'strata:x:65532:65532:strata:/var/lib/strata:/sbin/nologin' > /out/etc/passwd \
 && echo 'strata:x:65532:' > /out/etc/group

# The programs' versions are those of Debian stable: what one of a kind wraps, the others do to the same bytes, or are not asked to.
FROM debian:stable-slim AS edge
ARG VERSION=dev
LABEL org.opencontainers.image.title="strata-edge" \
      org.opencontainers.image.description="A registry-side delta proxy for bootable containers, with encoders" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gzip pigz xz-utils zstd \
 && rm -rf /var/lib/apt/lists/* \
 && echo 'strata:x:65532:65532:strata:/var/lib/strata:/sbin/nologin' >> /etc/passwd \
 && echo 'strata:x:65532:' >> /etc/group
COPY --from=build --chown=65532:65532 /out/data/ /var/lib/
COPY --from=build /out/strata /strata
COPY LICENSE /LICENSE
USER 65532:65532
WORKDIR /var/lib/strata
VOLUME /var/lib/strata
ENV STRATA_LISTEN=0.0.0.0:5000
EXPOSE 5000 5001
ENTRYPOINT ["/strata"]
CMD ["serve"]

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="strata" \
      org.opencontainers.image.description="A registry-side delta proxy for bootable containers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"

COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/etc/ /etc/
COPY --from=build /out/temp/ /
# A volume that is new takes over the owner and mode of the directory it is mounted on.
COPY --from=build --chown=65532:65532 /out/data/ /var/lib/
COPY --from=build /out/strata /strata
COPY LICENSE /LICENSE

USER 65532:65532
# The default store, ./strata-data, and the working directory beside it are on the volume.
WORKDIR /var/lib/strata
VOLUME /var/lib/strata

# Inside a container, loopback would reach nobody. Which ports are published is decided outside. The listener for operators stays
# on loopback until it is told who they are: STRATA_ADMIN_LISTEN with STRATA_ADMIN_TOKEN or STRATA_ADMIN_TOKEN_FILE.
ENV STRATA_LISTEN=0.0.0.0:5000
EXPOSE 5000 5001

ENTRYPOINT ["/strata"]
CMD ["serve"]
