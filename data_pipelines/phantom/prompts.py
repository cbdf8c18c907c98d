"""Zero-shot prompts in phrasings that the grammar never writes, of words that it does write."""

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
PROMPTS = {"easy": _SHARED, "default": {**_SHARED, **_WIDER}}
