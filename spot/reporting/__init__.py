"""Result folders to numbers, and numbers to tables, plots, pictures and the HTML report.

`evaluate_benchmark.evaluate` does the whole job. `evaluate_ope` and `evaluate_vot` read result files and call the measures
of `spot.evaluation`; `tables`, `plots`, `strips` and `report` show an `EvaluationResult`; `sweep_report` compares the jobs
of a sweep; `publishing` sends an evaluation to Weights & Biases.
"""
