"""Controlled comparisons on FER-2013: `dvc --cd experiments repro`.

Plain `dvc repro` leaves them out.

params.yaml   the runs and the teachers
settings.py   params.yaml as types
run.py        one run: `python -m experiments.run NAME`
compare.py    tables and plots of all runs: `python -m experiments.compare`
teacher.py    one teacher: `python -m experiments.teacher NAME`
alignment.py  the alignment of YuNet's crops; scenes.py makes its pictures
"""
