# pio-tf in a container. Targets:
#   cli      pio-tf with its own Terraform
#   sandbox  besides, all that `pio-tf demo` and `pio-tf sandbox` need
# docs/container.md says how to build and use them.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
# What an installation leaves of times and logs would make each build another image.
RUN apt-get update -qq \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3 \
  && useradd --create-home --uid 1000 --shell /bin/bash pio-tf \
  && chmod 1777 /home/pio-tf \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
    /var/lib/dpkg/*-old /var/log/* /etc/*-

FROM base AS build
RUN apt-get update -qq \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
# Python would write bytecode with times, and in an order that differs. A build may bring pip's cache as /mnt.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PIP_CACHE_DIR=/mnt
RUN python3 -m venv /opt/pio-tf
WORKDIR /src
COPY constraints.txt ./
# The secret is pip's configuration, for example the address of a mirror. A build needs none.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  /opt/pio-tf/bin/python -m pip install --quiet --no-compile --constraint constraints.txt pip
COPY LICENSE README.md pyproject.toml ./
COPY pio_tf pio_tf
COPY terraform terraform
ENV PIP_CONSTRAINT=/src/constraints.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  /opt/pio-tf/bin/python -m pip install --quiet --no-compile '.[terraform]'

# pip has no more use. Bytecode is made now, because the image's user can write none, and without times, which differ
# from build to build.
FROM build AS build-cli
RUN /opt/pio-tf/bin/python -m pip uninstall --quiet --yes setuptools pip \
  && /opt/pio-tf/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/pio-tf/lib

FROM build AS build-sandbox
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
  /opt/pio-tf/bin/python -m pip install --quiet --no-compile '.[sandbox]' \
  && /opt/pio-tf/bin/python -m pip uninstall --quiet --yes pip \
  && /opt/pio-tf/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/pio-tf/lib

FROM base AS run
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pio-tf" \
  org.opencontainers.image.description="Training machines for Apache PredictionIO, started and stopped around each training" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/pio-tf/bin:$PATH HOME=/home/pio-tf LANG=C.UTF-8
WORKDIR /project
RUN chmod 1777 /project
USER pio-tf
HEALTHCHECK --interval=5m CMD ["sh", "-c", "pio-tf --version && pio-tf-terraform version"]
ENTRYPOINT ["pio-tf"]
CMD ["--help"]

FROM run AS sandbox
COPY --from=build-sandbox /opt/pio-tf /opt/pio-tf

FROM run AS cli
COPY --from=build-cli /opt/pio-tf /opt/pio-tf
