# A party of a federation: `docker run IMAGE deploy start /kit`. See docs/deploy.md, which also says
# how to find the digest that BASE_IMAGE, a slim Python of 3.11 or later, must have.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS build
ARG BASE_IMAGE
RUN case "$BASE_IMAGE" in *@sha256:*) ;; *) echo "BASE_IMAGE needs its digest: NAME@sha256:…" >&2; exit 1 ;; esac
WORKDIR /source
COPY pyproject.toml locked.txt README.md LICENSE ./
COPY experiments experiments
COPY src src
RUN python -m venv /opt/fedket \
    && /opt/fedket/bin/pip install --no-cache-dir --require-hashes -r locked.txt \
    && /opt/fedket/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE_IMAGE}
COPY --from=build /opt/fedket /opt/fedket
RUN useradd --uid 1000 --create-home fedket
# All that a party writes is in its kit; what libraries keep for themselves may be lost.
ENV PATH=/opt/fedket/bin:$PATH HOME=/tmp JAX_PLATFORMS=cpu
USER 1000:1000
ENTRYPOINT ["fedket"]
CMD ["--help"]
