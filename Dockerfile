# The first stage has pip and the sources; what is left of them in the second is one environment.
FROM python:3.11-slim AS build

# Which build of torch: cpu, cuda (4 GB more) or auto; requirements/install.sh says what that is.
ARG TORCH=auto
# Where pip looks beside its own index: for TORCH=cpu, PyTorch's index of CPU builds.
ARG PIP_EXTRA_INDEX_URL

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/kbvqa

# The large layer first: it changes least.
COPY requirements requirements
RUN requirements/install.sh /opt/kbvqa/bin/python requirements/runtime.lock

COPY . .
RUN /opt/kbvqa/bin/python -m pip install --no-deps --no-build-isolation .

# What only builds and tests: 0.3 GB.
RUN /opt/kbvqa/bin/python -m pip uninstall --yes pip \
 && packages=$(echo /opt/kbvqa/lib/python3*/site-packages) \
 && rm -r "$packages/torch/include" "$packages/torch/test" \
 && find "$packages" -type d -name tests -prune -exec rm -r {} +


FROM python:3.11-slim

ENV PATH=/opt/kbvqa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HOME=/var/lib/kbvqa/huggingface \
    KBVQA_HOME=/var/lib/kbvqa \
    MALLOC_ARENA_MAX=2

RUN useradd --uid 10001 --create-home kbvqa \
 && install -d -o kbvqa -g kbvqa /var/lib/kbvqa
COPY --from=build /opt/kbvqa /opt/kbvqa

# The number, by which Kubernetes sees that it is not root.
USER 10001
WORKDIR /var/lib/kbvqa
VOLUME /var/lib/kbvqa
EXPOSE 7860
ENTRYPOINT ["kbvqa"]
CMD ["web", "--build", "--host", "0.0.0.0"]
