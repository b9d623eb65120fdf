# A party of a federation: `docker run IMAGE deploy start /kit`. See docs/deploy.md.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY experiments experiments
COPY src src
RUN python -m venv /opt/fedket \
    && /opt/fedket/bin/pip install --no-cache-dir -c constraints.txt '.[flare,kme,vision]'

FROM python:3.12-slim
COPY --from=build /opt/fedket /opt/fedket
RUN useradd --uid 1000 --create-home fedket
# All that a party writes is in its kit; what libraries keep for themselves may be lost.
ENV PATH=/opt/fedket/bin:$PATH HOME=/tmp JAX_PLATFORMS=cpu
USER 1000:1000
ENTRYPOINT ["fedket"]
CMD ["--help"]
