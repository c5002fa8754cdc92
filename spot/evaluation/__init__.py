"""Result files to numbers, tables, plots and a report.

`benchmark.evaluate` does it all. Below it: `loading` and `parsing` find and read result files; `ope` with `scoring`,
`binning`, `protocols` and `measures`, or `vot_results` with `vot` and `regions`, make the numbers, which an `EvaluationResult`
holds; `tables`, `plots`, `pictures` and `report` show them. `packing` makes zips for evaluation servers. Only `metrics`
needs torch.
"""
