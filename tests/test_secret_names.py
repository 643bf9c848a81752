"""Which names mark a value as secret."""

from __future__ import annotations

import pytest

from pio_tf.secret_names import contains_secret_name, is_secret_argument

ARGUMENTS = (
    *("password", "db_password", "smtp.passwd", "client-secret", "sas_token", "TOKEN", "access_key", "AWS_SECRET_KEY"),
    *("aws.secret_access_key", "private_key", "api_key"),
)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_that_ends_with_a_secret_word_is_secret(name: str) -> None:
    assert is_secret_argument(name)
    assert contains_secret_name(name)


@pytest.mark.parametrize("name", ["http_tokens", "password_data", "secret_name", "skip_credentials_validation", "key"])
def test_an_argument_that_only_contains_one_is_not(name: str) -> None:
    assert not is_secret_argument(name)


@pytest.mark.parametrize(
    "name",
    [
        *("es.net.http.auth.pass", "spark.hadoop.fs.s3a.access.key", "PIO_STORAGE_PASSWD", "dbPassword"),
        *("private-key", "authPass", "credentialsFile", "ApiKey"),
    ],
)
def test_a_setting_that_contains_a_secret_word_is_secret(name: str) -> None:
    assert contains_secret_name(name)


@pytest.mark.parametrize("name", ["author", "spark.executor.memory", "accessible", "keyspace"])
def test_other_settings_are_not(name: str) -> None:
    assert not contains_secret_name(name)
