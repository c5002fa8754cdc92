"""Arrays in, numbers out: the measures of single-object tracking. Imports no other package but `runtime`.

`one_pass.score` gives the measures of OTB, LaSOT, GOT-10k and their like by the rules of a toolkit (`protocols`); `vot` holds
the supervised and the long-term measures of VOT; `statistics` the intervals and the paired test. An `EvaluationResult`
has the results. Result files are read in `spot.results`; tables, plots and the whole job are in `spot.reporting`.
"""
