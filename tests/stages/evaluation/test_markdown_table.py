from stages.evaluation.markdown_table import markdown_table


def test_text_is_left_aligned_numbers_are_right_aligned_and_digits_stay_as_given():
    assert markdown_table(["run", "seed", "accuracy"], [["a|b", 1, "0.50"], ["c", 10, "0.6"]]) == (
        "| run   |   seed |   accuracy |\n"
        "|:------|-------:|-----------:|\n"
        r"| a\|b  |      1 |       0.50 |" + "\n"
        "| c     |     10 |        0.6 |"
    )


def test_more_columns_of_text():
    table = markdown_table(["model", "version", "ms"], [["a", "`01`", "2.0"]], text_columns=2)
    assert table.splitlines()[1] == "|:--------|:----------|-----:|"
