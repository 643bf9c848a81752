# pio-tf in a container. Targets:
#   cli      pio-tf with its own Terraform
#   sandbox  besides, all that `pio-tf demo` and `pio-tf sandbox` need
# docs/container.md says how to build and use them.
ARG BASE=debian:bookworm-slim

# The lists of packages, and pip, which Debian's images lack. No image keeps them, nor apt its caches here. Half of the
# lists would be translations.
FROM ${BASE} AS lists
RUN apt-get update -qq -o Acquire::Languages=none -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
  && cd /tmp \
  && apt-get download -qq -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= python3-pip-whl \
  && dpkg-deb --extract python3-pip-whl_*.deb / \
  && rm python3-pip-whl_*.deb

FROM ${BASE} AS base
# What an installation leaves of times and logs would make each build another image.
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3 \
  && useradd --create-home --uid 1000 --shell /bin/bash pio-tf \
  && mkdir /project \
  && chmod 1777 /home/pio-tf /project \
  && rm -rf /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
    /var/lib/dpkg/*-old /var/log/* /etc/*-

# An environment with pip and uv, and pio-tf's wheel. The secret is pip's configuration, for example the address of a
# mirror. A build needs none.
FROM base AS build
WORKDIR /src
COPY constraints.txt /opt/pip/
COPY scripts/container-install scripts/install.py /opt/pip/
ENV PIP_CONSTRAINT=/opt/pip/constraints.txt
# Debian's own pip is a wheel, which runs as it is, and installs the one that constraints.txt names.
RUN --mount=type=bind,from=lists,source=/usr/share/python-wheels,target=/usr/share/python-wheels \
  --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  python3 -m venv --without-pip /opt/pip \
  && PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) \
    /opt/pip/bin/python -m pip install --quiet --no-compile --no-cache-dir --ignore-installed pip uv hatchling
COPY . .
RUN /opt/pip/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /opt/pip/wheel .

FROM base AS cli
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
  --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  python3 -m venv --without-pip /opt/pio-tf && /opt/pip/container-install /opt/pip/wheel/*.whl 'pio-tf[terraform]'
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pio-tf" \
  org.opencontainers.image.description="Training machines for Apache PredictionIO, started and stopped around each training" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/pio-tf/bin:$PATH HOME=/home/pio-tf LANG=C.UTF-8
WORKDIR /project
USER pio-tf
HEALTHCHECK --interval=5m CMD ["sh", "-c", "pio-tf --version && pio-tf-terraform version"]
ENTRYPOINT ["pio-tf"]
CMD ["--help"]

FROM cli AS sandbox
USER root
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
  --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  /opt/pip/container-install 'pio-tf[sandbox]'
USER pio-tf

# The target if a build names none.
FROM cli
