# The first stage has pip and what builds; the second has only what runs, and of it what is imported is compiled. How to
# renew the digest of both stands in docs/operations.md.
FROM python:3.12.14-slim-trixie@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/meshbot
COPY requirements-charts.lock ./
RUN pip --python /opt/meshbot/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements-charts.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot ./bot
RUN pip --python /opt/meshbot/bin/python install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
    && /opt/meshbot/bin/python -c "import bot.app, bot.doctor.run, bot.setup_questions, matplotlib.backends.backend_agg, matplotlib.dates"

FROM python:3.12.14-slim-trixie@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea
RUN useradd --system --uid 10001 --home-dir /data meshbot && install -d -o meshbot /data
COPY --from=build /opt/meshbot /opt/meshbot
ENV PATH=/opt/meshbot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    MESHBOT_DATABASE_URL=sqlite:////data/meshbot.db \
    MESHBOT_HTTP__HOST=0.0.0.0
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Not through a proxy that the environment may name: this asks the process beside it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["python", "-c", "\
import os, urllib.request as http; \
port = os.environ.get('MESHBOT_HTTP__PORT') or '8080'; \
http.build_opener(http.ProxyHandler({})).open(f'http://127.0.0.1:{port}/livez', timeout=4)"]
ENTRYPOINT ["meshbot"]
CMD ["run"]
