# Airflow with this package, its sandbox, and what docker-compose.yaml and object stores of S3's kind need.
FROM node:22.12.0-bookworm-slim AS pages
WORKDIR /project
COPY web web
# Its result lies beside it, in airflow_mailchimp_export/pages/static.
RUN cd web && npm ci && npm run build

FROM python:3.11.14-slim-bookworm

RUN useradd --uid 50000 --create-home airflow \
    && install --directory --owner airflow --group airflow /airflow /shared

WORKDIR /project
COPY pyproject.toml hatch_build.py constraints-stores.txt README.md LICENSE ./
COPY airflow_mailchimp_export airflow_mailchimp_export
COPY --from=pages /project/airflow_mailchimp_export/pages/static airflow_mailchimp_export/pages/static
RUN pip install --no-cache-dir --constraint constraints-stores.txt '.[celery,postgres,s3,sandbox]'

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER airflow
WORKDIR /airflow
