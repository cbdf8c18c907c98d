"""What a report leaves out cannot be told from what it says, but by the company findings keep."""

import dataclasses

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, draw_findings
from data_pipelines.phantom.grammar import write_report

REPORTS = 6000


def test_words_alone_give_chance_on_labels_that_the_report_leaves_out(monkeypatch):
    alone = dataclasses.replace(DIFFICULTY["default"], company={}, portable_devices=1.0)
    monkeypatch.setitem(DIFFICULTY, "default", alone)
    texts, present, said = [], [], []
    labels = sorted({LABEL_OF[kind] for kind in alone.prevalence})
    for seed in range(REPORTS):
        rng = np.random.default_rng([seed, 23])
        findings = draw_findings("default", "PA", rng)
        report = write_report("default", findings, rng)
        texts.append(f"{report.findings_text} {report.impression_text}")
        drawn = {finding.label for finding in findings}
        named = {link.label for s in report.sentences for link in s.links}
        present.append([label in drawn for label in labels])
        said.append([label in named for label in labels])
    present, said = np.array(present), np.array(said)
    bags = CountVectorizer(token_pattern=r"[a-z0-9/+]+", min_df=5).fit_transform(texts)
    train = np.arange(REPORTS) < REPORTS // 2
    told, silent = [], []
    for k in range(len(labels)):
        # As a check of the reader: of what is named, words tell whether it is there.
        for rows, scores in ((said[:, k], told), (~said[:, k], silent)):
            fit = LogisticRegression(C=0.1, max_iter=200)
            fit.fit(bags[rows & train], present[rows & train, k])
            guess = fit.decision_function(bags[rows & ~train])
            scores.append(roc_auc_score(present[rows & ~train, k], guess))
    print(f"macro AUROC of named labels {np.mean(told):.3f}, of unnamed {np.mean(silent):.3f}")
    assert np.mean(told) > 0.9
    assert abs(np.mean(silent) - 0.5) < 0.06
