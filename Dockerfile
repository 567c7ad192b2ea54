# Monedero in a container: Python, the locked packages and the program. docs/how-to/deploy-with-compose.md uses it.
#
# The tag moves with Python's patch releases. To build on exactly one image, write its digest behind the tag, as
# python:3.13-slim-trixie@sha256:...; `docker buildx imagetools inspect python:3.13-slim-trixie` shows it.
FROM python:3.13-slim-trixie AS base


FROM base AS build
WORKDIR /src

# The same installer and the same lock as everywhere else; wheels only, each with a hash that was reviewed.
COPY tools/pip-*.whl /pip.whl
# With what sends traces, which nothing loads unless MONEDERO_TRACE_URL is set.
COPY requirements/run.lock requirements/extras.lock requirements/
RUN python -m venv --without-pip /opt/monedero \
    && /opt/monedero/bin/python /pip.whl/pip install --no-cache-dir --require-hashes --only-binary=:all: \
       --requirement requirements/run.lock --requirement requirements/extras.lock

# The lock has what builds the package too, so that from here on nothing is fetched. What only builds does not stay.
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/monedero/bin/python /pip.whl/pip install --no-cache-dir --no-index --no-deps --no-build-isolation . \
    && /opt/monedero/bin/python /pip.whl/pip uninstall --yes flit_core


FROM base
COPY --from=build /opt/monedero /opt/monedero

# The only folder that is written to, and only by the embedded store. Everything else may be read-only.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
VOLUME /data
WORKDIR /data

ENV PATH=/opt/monedero/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MONEDERO_DATABASE_URL=sqlite:////data/monedero.db

# A number, so that whoever runs it can see that it is not root without a look into the image.
USER 10001:10001
EXPOSE 8000

# In the name of a host that is allowed, and never through a proxy. It says that the process answers, not that its
# database does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["python", "-Ic", "\
import http.client, os, sys; \
allowed = os.environ.get('MONEDERO_ALLOWED_HOSTS', '').split(',')[0].strip(' *') or '127.0.0.1'; \
port = int(os.environ.get('MONEDERO_PORT', '8000')); \
connection = http.client.HTTPConnection('127.0.0.1', port, timeout=2); \
connection.request('GET', '/health/live', headers={'Host': allowed}); \
sys.exit(connection.getresponse().status != 200)"]

# `serve` as it is by default: on loopback, which inside a container nobody else reaches. To serve others, set
# MONEDERO_HOST=0.0.0.0, MONEDERO_INSECURE_ALLOW_OPEN=true and MONEDERO_ALLOWED_HOSTS, behind something that asks
# who calls.
ENTRYPOINT ["monedero"]
CMD ["serve"]
