"""Controlled comparisons on FER-2013: `dvc --cd experiments repro`.

Plain `dvc repro` leaves them out.

params.yaml  the runs
settings.py  params.yaml as types
run.py       one run: `python -m experiments.run NAME`
compare.py   tables and plots of all of them: `python -m experiments.compare`
"""
