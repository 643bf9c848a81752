from __future__ import annotations

import pytest

from pio_tf.config.hcl import read_hcl
from pio_tf.config.kinds import SecretReference
from pio_tf.config.problems import UnreadableHcl


def value_of(expression: str, **environ: str) -> object:
    document = read_hcl(f"x = {expression}\n", environ=environ)
    assert document.problems == []
    return document.data["x"]


def problem_of(expression: str, **environ: str) -> str:
    document = read_hcl(f"\nx = {expression}\n", environ=environ)
    assert "x" not in document.data
    assert "x" in document.unread
    (problem,) = document.problems
    assert problem.line == 2
    assert problem.name.startswith("x")
    return problem.message


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"text"', "text"),
        ('""', ""),
        ("7", 7),
        ("-3", -3),
        ("-35", -35),
        ("2.5", 2.5),
        ("-2.5", -2.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("(4)", 4),
        ("[]", []),
        ('["a", 1, true, -2,]', ["a", 1, True, -2]),
        ("[[1], {}]", [[1], {}]),
        ("{}", {}),
        ('{ "a.b" = 1, c : "d" }', {"a.b": 1, "c": "d"}),
        ("{\n a = [\n 1,\n 2\n ]\n # comment\n b = { c = null }\n}", {"a": [1, 2], "b": {"c": None}}),
        (r'"a\n\t\"b\" \\ A \U0001F600"', 'a\n\t"b" \\ A \U0001f600'),
        ('"$${HOME} %%{if} $HOME 100% a$"', "${HOME} %{if} $HOME 100% a$"),
        ('"$${a} $${b}"', "${a} ${b}"),
        ('<<EOT\none\n  "two" \\n\nEOT', 'one\n  "two" \\n\n'),
        ('<<-EOT\n    one\n\n      two "x" \\\n    EOT', 'one\n\n  two "x" \\\n'),
        ("<<-EOT\n\tone\n \n  two\nEOT", "one\n \n two\n"),
        ('"$${ a"', "${ a"),
        ('"%%{ a $${"', "%{ a ${"),
        ('"e\u0301 \\u00e9"', "é é"),
        ("<<EOT\nEOT", ""),
        ('"ünïcödé"', "ünïcödé"),
    ],
)
def test_literals_are_read_as_hcl_means_them(expression: str, value: object) -> None:
    assert value_of(expression) == value
    assert type(value_of(expression)) is type(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('env("NAME")', "v1"),
        ('(env("NAME"))', "v1"),
        ('"${env("NAME")}"', "v1"),
        ('"a-${env("NAME")}-${ env("OTHER") }"', 'a-v1-${x} "q" \\n'),
        ('<<EOT\na ${env("NAME")} $${b}\nEOT', "a v1 ${b}\n"),
        ('[env("NAME")]', ["v1"]),
        ('{ k = "${env("NAME")}" }', {"k": "v1"}),
    ],
)
def test_env_gives_the_variable_as_it_is(expression: str, value: object) -> None:
    assert value_of(expression, NAME="v1", OTHER='${x} "q" \\n') == value


def test_an_unset_variable_is_named() -> None:
    assert "the environment variable NOT_SET is not set" in problem_of('env("NOT_SET")')
    assert "NOT_SET" in problem_of('"a${env("NOT_SET")}"')
    assert "NOT_SET" in problem_of('<<EOT\n${env("NOT_SET")}\nEOT')


def test_an_empty_variable_is_a_value() -> None:
    assert value_of('env("EMPTY")', EMPTY="") == ""


@pytest.mark.parametrize(
    "expression",
    [
        "var.x",
        "local",
        "1 + 2",
        "!true",
        "-var.x",
        "true ? 1 : 2",
        'file("x")',
        'upper(env("A"))',
        "[for a in b : a]",
        "{for a in b : a => a}",
        "a[0]",
        "a.*.b",
        '"${var.x}"',
        '"a ${1 + 2}"',
        '"%{if true}a%{endif}"',
        "<<EOT\n${var.x}\nEOT",
        "<<EOT\n%{if true}a%{endif}\nEOT",
        'provider::x::env("A")',
    ],
)
def test_anything_else_is_refused_and_says_that_only_env_is_evaluated(expression: str) -> None:
    assert 'only env("NAME") is evaluated' in problem_of(expression, A="a")


@pytest.mark.parametrize(
    "expression",
    ["env()", 'env("A", "B")', "env(A)", 'env("")', 'env("${env("A")}")', "env(1)", r'env("A\nB")', 'env("A=B")'],
)
def test_env_takes_one_name_in_quotes(expression: str) -> None:
    assert problem_of(expression, A="B", B="c") == 'env takes one name in quotes, like env("NAME")'


def test_env_in_a_heredoc_takes_a_name_too() -> None:
    assert problem_of('<<E\n${env("A B")}\nE').startswith("env takes one name")


@pytest.mark.parametrize(
    ("expression", "reference", "written"),
    [
        ('ssm("/pio/password")', SecretReference("ssm", "/pio/password"), None),
        ('(ssm("p:3"))', SecretReference("ssm", "p:3"), 'ssm("p:3")'),
        ('secretsmanager("pio/db")', SecretReference("secretsmanager", "pio/db"), None),
        ('secretsmanager( "pio/db", "pass\\"word" )', SecretReference("secretsmanager", "pio/db", 'pass"word'), ""),
    ],
)
def test_a_reference_to_a_secret_stays_one(expression: str, reference: SecretReference, written: str | None) -> None:
    assert value_of(expression) == reference
    if written is None:
        assert str(reference) == expression


@pytest.mark.parametrize(
    "expression",
    [
        "ssm()",
        'ssm("a", "b")',
        'ssm("")',
        "ssm(7)",
        'ssm(env("X"))',
        'ssm("/${env("X")}")',
        'secretsmanager("a", "b", "c")',
        'secretsmanager("a", " ")',
        "secretsmanager(x)",
    ],
)
def test_a_reference_to_a_secret_takes_plain_text(expression: str) -> None:
    message = problem_of(expression, X="x")
    assert message.startswith(("ssm takes the name of a parameter in quotes", "secretsmanager takes a name or ARN"))


@pytest.mark.parametrize("expression", ['"${ssm("/p")}"', '"pio:${secretsmanager("p")}"'])
def test_a_secret_is_never_a_part_of_a_text(expression: str) -> None:
    assert "must be the whole value of a password, not a part of it" in problem_of(expression)


def test_labelled_blocks_are_told_apart_by_their_labels() -> None:
    text = 'box "A" {\n  x = 1\n}\nbox B {\n  x = 2\n}\nbox "A" {\n  x = 3\n}\nbox {\n}\n'
    document = read_hcl(text, environ={}, labelled={"box": '"NAME"'})
    assert document.data == {"box": {"A": {"x": 1}, "B": {"x": 2}}}
    assert document.lines == {"box": 1, "box.A": 1, "box.A.x": 2, "box.B": 4, "box.B.x": 5}
    assert [(problem.line, problem.name, problem.message) for problem in document.problems] == [
        (7, "box.A", "this block is already in line 1; keep one of the two"),
        (10, "box", 'needs one label: write box "NAME" { … }'),
    ]


def test_every_bad_item_of_a_list_is_reported() -> None:
    document = read_hcl('x = [\n  var.a,\n  "ok",\n  var.b,\n]\n', environ={})
    assert [(problem.line, problem.name) for problem in document.problems] == [(2, "x.0"), (4, "x.2")]


def test_an_escape_that_hcl_does_not_know_is_refused() -> None:
    assert problem_of(r'"C:\path"').startswith(r"\p is not an escape")


@pytest.mark.parametrize(
    ("escape", "message"),
    [
        ("\\ud800", "\\ud800 is half of a character; write the whole one, as itself or as \\UNNNNNNNN"),
        ("\\ude00", "\\ude00 is half of a character; write the whole one, as itself or as \\UNNNNNNNN"),
        ("\\U0000DFFF", "\\U0000DFFF is half of a character; write the whole one, as itself or as \\UNNNNNNNN"),
        ("\\U00110000", "\\U00110000 is beyond the last character, \\U0010FFFF"),
    ],
)
def test_an_escape_that_is_no_character_is_refused(escape: str, message: str) -> None:
    assert problem_of(f'"a{escape}"') == message


def test_a_variable_that_is_not_text_is_refused() -> None:
    message = "the environment variable A is not UTF-8 text (byte 0xff)"
    assert problem_of('env("A")', A="x\udcff") == message
    assert problem_of('<<E\n${env("A")}\nE', A="\udcff\udcfe") == message


@pytest.mark.parametrize("text", ["<<EOT\none\nEOT \ntwo\nEOT", "<<-EOT\none\n  EOT\t\nEOT", "<<EOT\n\u00a0EOT"])
def test_text_that_terraform_ends_elsewhere_is_refused(text: str) -> None:
    assert problem_of(text)


def test_windows_line_ends_are_refused_in_a_heredoc_only() -> None:
    document = read_hcl('a = "x"\r\nb = <<E\r\none\r\nE\r\nc = 1\r\n', environ={})
    assert [problem.render("f") for problem in document.problems] == [
        "f:2: b: has Windows line ends (CRLF) in its text; save the file with Unix line ends (LF)"
    ]
    assert document.data == {"a": "x", "c": 1}
    assert read_hcl("a = 1\r\nb = <<E\none\nE\nc = 1\r\n", environ={}).data == {"a": 1, "b": "one\n", "c": 1}


def test_an_escaped_template_ends_with_its_string() -> None:
    document = read_hcl('a = "$${x"\nb = "y}"\n', environ={})
    assert document.data == {"a": "${x", "b": "y}"}
    assert document.problems == []


ODD = [
    (
        "größe = 1",
        'column 3: the character "ö" (U+00F6, latin small letter o with diaeresis)',
        "names consist of a to z",
    ),
    ("a =\u00a01", "column 4: the character U+00A0 (no-break space)", "write a space (U+0020)"),
    ("a = \u201cx\u201d", 'column 5: the character "\u201c" (U+201C, left double quotation mark)', 'double quotes: "'),
    ("a = \u201ex\u201c", 'column 5: the character "\u201e" (U+201E, double low-9 quotation', 'double quotes: "'),
    ("\ufeffa = 1", "column 1: the character U+FEFF (zero width no-break space)", "delete it"),
    ("a\u200b = 1", "column 2: the character U+200B (zero width space)", "delete it"),
    ("a = \u22121", 'column 5: the character "\u2212" (U+2212, minus sign)', "write it in ASCII"),
    (
        "a = { é = 1 }",
        'column 7: the character "é" (U+00E9, latin small letter e',
        "names consist of a to z",
    ),
    ('a = "ö" ö', 'column 9: the character "ö"', "names consist of a to z"),
    ("a = 1\u2028", "column 6: the character U+2028 (line separator)", "write a space"),
]


@pytest.mark.parametrize(("line", "character", "hint"), ODD)
def test_a_character_outside_of_ascii_is_named_with_its_line_and_column(line: str, character: str, hint: str) -> None:
    with pytest.raises(UnreadableHcl) as caught:
        read_hcl(f'# ü “x”\nb = "ü\u00a0\u2028"\n{line}\n', environ={})
    assert caught.value.problem.line == 3
    assert caught.value.problem.message.startswith(character)
    assert "can only be in quotes or comments" in caught.value.problem.message
    assert hint in caught.value.problem.message


@pytest.mark.parametrize(
    ("text", "place", "character"),
    [
        ('a = "x\ry"\n', 1, "column 7: the character U+000D (carriage return without a newline)"),
        ('a = 1\nb = "\ufdd0"\n', 2, "column 6: the character U+FDD0"),
    ],
)
def test_a_character_that_terraform_reads_otherwise_is_refused_in_quotes_too(
    text: str, place: int, character: str
) -> None:
    with pytest.raises(UnreadableHcl) as caught:
        read_hcl(text, environ={})
    assert caught.value.problem.line == place
    assert caught.value.problem.message == f"{character} cannot be in this file"


@pytest.mark.parametrize("number", ["9" * 5000, "1e400", f"-{'9' * 101}"])
def test_a_number_that_is_too_large_is_refused(number: str) -> None:
    assert problem_of(number) == "has too many digits for a number"


def test_a_key_that_stands_twice_in_a_map_is_refused() -> None:
    assert problem_of("{ a = 1, a = 2 }") == "is twice in this map; keep one of the two"


@pytest.mark.parametrize(
    "key", ["a.b", "(a)", "007", "1.0", "9" * 101, "-1", "1 + 2", "a[0]", "<<E\nx\nE\n", "[1]", "file(1)"]
)
def test_a_key_that_is_more_than_a_word_must_stand_in_quotes(key: str) -> None:
    message = problem_of(f"{{ {key} = 1 }}")
    assert message == 'a key that is more than a word must be in quotes, like "spark.local.dir"'


def test_words_and_numbers_are_keys() -> None:
    assert value_of("{ true = 1, for = 2, 7 = 3, a-b = 4 }") == {"true": 1, "for": 2, "7": 3, "a-b": 4}
    assert value_of(f"{{ {'9' * 100} = 1 }}") == {"9" * 100: 1}


def test_a_map_that_would_begin_an_expression_is_refused() -> None:
    assert problem_of("{ for = 1 }").startswith('write "for" in quotes')


def test_null_means_as_if_it_were_not_there() -> None:
    assert read_hcl("x = null\n", environ={}).data == {}


def test_every_name_has_its_line() -> None:
    text = '# c\na {\n  b = [\n    1,\n    2\n  ]\n  c "l" {\n    d = { e = 1,\n      "f.g" = 2 }\n  }\n}\n'
    document = read_hcl(text, environ={})
    assert document.lines == {
        "a": 2, "a.b": 3, "a.b.0": 4, "a.b.1": 5, "a.c": 7, "a.c.d": 8, "a.c.d.e": 8, "a.c.d.f.g": 9
    }  # fmt: skip
    assert document.blocks == {"a", "a.c"}
    assert document.labels == {"a.c": ("l",)}


def test_what_stands_twice_is_refused_and_the_first_line_named() -> None:
    document = read_hcl("a = 1\nb {}\na = 2\nb {}\n", environ={})
    assert [(problem.line, problem.name, problem.message) for problem in document.problems] == [
        (3, "a", "this option is already in line 1; keep one of the two"),
        (4, "b", "this block is already in line 2; keep one of the two"),
    ]


def test_two_options_in_one_line_are_refused() -> None:
    document = read_hcl("a = 1 b = 2\n", environ={})
    assert [(problem.line, problem.name) for problem in document.problems] == [(1, "b")]
    assert read_hcl("a = <<E\nx\nE\nb = 2\nc { d = 1 }\n", environ={}).problems == []


@pytest.mark.parametrize("text", ["", "\n", "# only\n", "// only", "/* only */", "\ufeff"[1:], "a {}", "a {\n}\n\n"])
def test_an_empty_text_and_comments_are_hcl(text: str) -> None:
    assert read_hcl(text, environ={}).problems == []


SYNTAX = [
    ("a = 1\nb = \nc = 3\n", 2, "expected a value: a string in quotes, a number", "found the end of the line"),
    ("a {\n  b = 1\n", 1, 'the "{" here is never closed', 'expected "}"'),
    ("a {\n  b = [1,\n  c = 2\n}\n", 3, '"," or "]" of the list', 'found "="'),
    ("a {\n\n  b x\n\n  c = 2\n}\n", 3, '"=" for an option or "{" for a block', "found the end of the line"),
    ("a {\n  b\n}\n", 2, '"=" for an option or "{" for a block', "found the end of the line"),
    ("a = # c\nb = 1\n", 1, "expected a value", "found the end of the line"),
    ("a = [1;2]\n", 1, "something else", 'found ";2]"'),
    ("a = 1\n}\n", 2, "expected a new line with an option or a block", 'found "}"'),
    ("a = }\n", 1, "expected a value", 'found "}"'),
    ("a {\n  b = [1, 2\n}\n", 3, 'expected "]" for the "[" in line 2', 'found "}"'),
    ('a = "x\nb = "y"\n', 1, "the string is not closed", ""),
    ('a = "${env("x)}"\nb = "c"\n', 1, "the string is not closed", ""),
    ("a = 'x'\n", 1, "expected a value", "strings are in double quotes"),
    ("a = 1 2\n", 1, "expected a new line with an option or a block", 'found "2"'),
    ("a\n", 1, '"=" for an option or "{" for a block', "found the end of the"),
    ("a: 1\n", 1, '"=" for an option or "{" for a block', 'found ":"'),
    ("= 1\n", 1, "expected the name of an option or a block", 'found "="'),
    ("a = @\n", 1, "expected a value", 'found "@"'),
    ("a = /* x\n", 1, "the comment is not closed", ""),
    ("a = <<EOT\nx\n", 1, "the text after <<EOT is not closed", "expected EOT alone in a line"),
    ("a = [1 2]\n", 1, '"," or "]" of the list', 'found "2"'),
    ("{}\n", 1, "expected the name of an option or a block", 'found "{}"'),
    ("a = \x00\n", 1, "can only be in quotes or comments; delete it", "column 5: the character U+0000 (null)"),
    ("a = 1\n\n<html>\n", 3, "expected a new line with an option or a block", 'found "<"'),
]


@pytest.mark.parametrize(("text", "line", "expected", "found"), SYNTAX)
def test_a_syntax_error_says_where_what_was_expected_and_what_was_found(
    text: str, line: int, expected: str, found: str
) -> None:
    with pytest.raises(UnreadableHcl) as caught:
        read_hcl(text, environ={})
    problem = caught.value.problem
    assert problem.line == line
    assert expected in problem.message
    assert found in problem.message
    assert "\n" not in problem.message
    for jargon in ("Token", "LITERAL", "NL_OR", "lark", "$END", "RBRACE", "terminal"):
        assert jargon not in problem.message


def test_a_text_that_is_nested_without_end_is_refused() -> None:
    deep = 2000
    with pytest.raises(UnreadableHcl, match="nested too deeply"):
        read_hcl("a = " + "[" * deep + "]" * deep + "\n", environ={})
