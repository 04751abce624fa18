# A simulated charging station, its page and its control API, in a container:
#   docker build -t chargy-agent . && docker run --rm --init -p 8080:8080 chargy-agent
# The log prints the address with its token. A station file of yours:
#   docker run --rm --init -p 8080:8080 --user "$(id -u)" -v "$PWD:/home/station" chargy-agent simulate station.toml --host 0.0.0.0
#
# The same sources give the same packages: requirements.lock names every version. For the same base image too, name it by its
# digest: --build-arg BASE=python:3.13-slim-trixie@sha256:...
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE requirements.lock ./
COPY agent agent
COPY drivers drivers
COPY config config
RUN python -m venv /opt/chargy-agent \
    && /opt/chargy-agent/bin/pip install --constraint requirements.lock '.[sim]' \
    && /opt/chargy-agent/bin/pip uninstall --yes pip

FROM ${BASE}
# the fonts of the simulated screens
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home station
COPY --from=build /opt/chargy-agent /opt/chargy-agent
ENV PATH=/opt/chargy-agent/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/station
EXPOSE 8080
HEALTHCHECK --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/api/v1/health')"]
ENTRYPOINT ["chargy-agent"]
CMD ["simulate", "--host", "0.0.0.0", "--port", "8080"]
