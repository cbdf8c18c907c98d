"""Zero-shot prompts in phrasings that the grammar never writes, of words that it does write."""

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF

_SHARED = {
    "Cardiomegaly": {
        "positive": (
            "enlarged cardiac silhouette",
            "cardiomegaly is seen",
            "the heart size is enlarged",
            "enlargement of the cardiac silhouette",
        ),
        "negative": (
            "normal heart size",
            "normal cardiac silhouette",
            "no cardiomegaly is seen",
            "no enlargement of the heart",
        ),
    },
    "Edema": {
        "positive": (
            "edema is seen in both lungs",
            "pulmonary edema with perihilar haze",
            "pulmonary edema with vascular congestion",
            "moderate edema is present",
        ),
        "negative": (
            "no edema is seen",
            "no edema in the lungs",
            "no vascular congestion or edema",
            "normal pulmonary vessels",
        ),
    },
    "Consolidation": {
        "positive": (
            "consolidation is seen in the right lung",
            "consolidation is seen in the left lung",
            "airspace consolidation is present",
            "focal consolidation in the lower zone",
            "large consolidation in the upper zone",
        ),
        "negative": (
            "no consolidation is seen",
            "no consolidation in the lungs",
            "no focal airspace opacity",
            "clear lungs with no opacity",
        ),
    },
    "Pneumothorax": {
        "positive": (
            "pneumothorax is seen on the left",
            "pneumothorax is seen on the right",
            "a large pneumothorax is seen",
            "collapsed lung with pneumothorax",
        ),
        "negative": (
            "no pneumothorax is seen",
            "no left or right pneumothorax",
            "no pneumothorax in the chest",
            "no collapsed lung",
        ),
    },
    "Pleural Effusion": {
        "positive": (
            "effusion is seen on the left",
            "effusion is seen on the right",
            "pleural effusions are seen at both bases",
            "pleural fluid at the base",
            "a large effusion is present",
        ),
        "negative": (
            "no effusion is seen",
            "no left or right pleural effusion",
            "no pleural effusion is seen",
            "no fluid at either base",
        ),
    },
    "Support Devices": {
        "positive": (
            "a pacemaker is seen",
            "a pacemaker is present over the chest",
            "pacemaker with leads",
            "a support device is in place",
        ),
        "negative": (
            "no pacemaker is seen",
            "no pacemaker or leads",
            "no device is present",
            "no support devices are in place",
        ),
    },
}
_WIDER = {
    "Atelectasis": {
        "positive": (
            "atelectasis is seen in the left lung",
            "atelectasis is seen in the right lung",
            "bands of linear opacity with volume loss",
            "atelectasis at the base",
        ),
        "negative": (
            "no atelectasis is seen",
            "no linear opacities",
            "no volume loss is seen",
            "no bands of atelectasis",
        ),
    },
    "Lung Lesion": {
        "positive": (
            "a nodule is seen in the left lung",
            "a nodule is seen in the right lung",
            "a round mass is present",
            "a well defined lung lesion",
        ),
        "negative": (
            "no nodule or mass is seen",
            "no round opacity",
            "no lung lesion is present",
            "no suspicious nodule",
        ),
    },
    "Lung Opacity": {
        "positive": (
            "hazy opacity is seen in the left lung",
            "hazy opacity is seen in the right lung",
            "a nonspecific opacity is present",
            "ill defined hazy opacities",
        ),
        "negative": (
            "no hazy opacity is seen",
            "no hazy opacity in either lung",
            "no ill defined opacity",
            "no nonspecific opacities are seen",
        ),
    },
    "Pneumonia": {
        "positive": (
            "pneumonia is seen in the left lung",
            "pneumonia is seen in the right lung",
            "patchy infiltrate with pneumonia",
            "patchy pneumonia is present",
        ),
        "negative": (
            "no pneumonia is seen",
            "no pneumonia or infiltrate",
            "no patchy opacities of pneumonia",
            "no pneumonia in the lungs",
        ),
    },
    "Enlarged Cardiomediastinum": {
        "positive": (
            "widening of the mediastinum is seen",
            "a widened superior mediastinum",
            "the mediastinum is wide",
            "mediastinal widening is present",
        ),
        "negative": (
            "normal mediastinum",
            "no mediastinal widening is seen",
            "no widening of the mediastinum",
            "the superior mediastinum is normal",
        ),
    },
    "Pleural Other": {
        "positive": (
            "pleural thickening is seen on the left",
            "pleural thickening is seen on the right",
            "a thickened pleura",
            "thickening of the pleura is present",
        ),
        "negative": (
            "no pleural thickening is seen",
            "no thickened pleura",
            "the pleura is not thickened",
            "no thickening on either side",
        ),
    },
    "Fracture": {
        "positive": (
            "fracture of a rib is seen",
            "rib fractures are seen on the left",
            "rib fractures are seen on the right",
            "multiple ribs with fractures",
        ),
        "negative": (
            "no rib fractures are seen",
            "no fracture of a rib",
            "no broken ribs",
            "no fractures on either side",
        ),
    },
    "Support Devices": {
        "positive": (
            "a pacemaker is seen",
            "a central venous catheter is in place",
            "an endotracheal tube is seen",
            "lines and tubes are in place",
            "support devices are present",
        ),
        "negative": (
            "no support devices are in place",
            "no lines, tubes or devices",
            "no pacemaker or central line",
            "no device is present",
        ),
    },
}


def _prompts(config: str) -> dict[str, dict[str, tuple[str, ...]]]:
    texts = _SHARED if config == "easy" else {**_SHARED, **_WIDER}
    drawn = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
    return {label: texts[label] for label in texts if label in drawn}


PROMPTS = {config: _prompts(config) for config in DIFFICULTY}
