# One image for every process of chatsite; by default it runs all of them (`manage.py up`).
# Not built where it was written (no container engine there): report what is wrong with it.
FROM python:3.13-slim

# libgomp1: llama.cpp computes with OpenMP.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 chatsite \
    && install -d -o chatsite -g chatsite -m 0700 /data

WORKDIR /srv/chatsite
# The libraries and the default model first: they change less often than the code, so their layer is kept.
COPY bin bin
COPY chatsite/supervisor chatsite/supervisor
COPY pyproject.toml constraints.txt default-model.txt ./
RUN bin/up --install-only
COPY . .
RUN python -m compileall -q . && chown -R chatsite:chatsite /srv/chatsite

USER chatsite
ENV CHATSITE_DATA=/data CHATSITE_HOST=0.0.0.0 CHATSITE_PORT=8000 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# A host name the site allows by default; CHATSITE_ALLOWED_HOSTS must keep localhost for this check.
HEALTHCHECK --start-period=60s --interval=15s --timeout=5s \
    CMD [".venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8000/healthz', timeout=4)"]
ENTRYPOINT [".venv/bin/python", "manage.py"]
CMD ["up"]
