FROM python:3.11-slim

# Which build of torch: cpu, cuda (4 GB more) or auto; requirements/install.sh says what that is.
ARG TORCH=auto
# Where pip looks beside its own index: for TORCH=cpu, PyTorch's index of CPU builds.
ARG PIP_EXTRA_INDEX_URL

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HOME=/var/lib/kbvqa/huggingface \
    KBVQA_HOME=/var/lib/kbvqa

WORKDIR /app

# The large layer first: it changes least.
COPY requirements requirements
RUN requirements/install.sh python requirements/all.lock

# Editable, because the demo corpus lies beside the packages.
COPY . .
RUN pip install --no-deps --no-build-isolation -e .

RUN useradd --uid 10001 --create-home kbvqa \
 && install -d -o kbvqa -g kbvqa /var/lib/kbvqa
USER kbvqa

VOLUME /var/lib/kbvqa
EXPOSE 7860
ENTRYPOINT ["kbvqa"]
CMD ["web", "--build", "--host", "0.0.0.0"]
