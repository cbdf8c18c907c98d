"""Sentences of the wider configs that speak of no one finding: joint denials, normal reports, and
what no picture of one moment shows. Each by register or style.
"""

from data_pipelines.phantom.frames import Style
from data_pipelines.phantom.words import Register

GROUPS = {
    "heart": ("Cardiomegaly", "Enlarged Cardiomediastinum"),
    "lungs": (
        "Edema",
        "Consolidation",
        "Pneumonia",
        "Atelectasis",
        "Lung Opacity",
        "Lung Lesion",
    ),
    "pleura": ("Pneumothorax", "Pleural Effusion", "Pleural Other"),
    "bones": ("Fracture",),
    "devices": ("Support Devices",),
}
_HEART, _LUNGS, _PLEURA, _BONES, _ = GROUPS.values()

# Lists of names that follow one "no".
DENIED_TOGETHER = (
    ("Consolidation", "Pleural Effusion", "Pneumothorax"),
    ("Pleural Effusion", "Pneumothorax"),
    ("Consolidation", "Edema"),
    ("Pneumonia", "Pleural Effusion"),
    ("Consolidation", "Pneumonia"),
    ("Edema", "Pleural Effusion"),
    ("Consolidation", "Atelectasis"),
    ("Edema", "Pneumonia", "Pleural Effusion"),
    ("Pneumothorax", "Fracture"),
    ("Lung Opacity", "Lung Lesion"),
)
# Sentences that deny several labels at once.
CLEAR = {
    Register.FULL: {
        _HEART: (
            "the cardiomediastinal silhouette is normal",
            "the heart and mediastinum are within normal limits",
            "cardiomediastinal contours are unremarkable",
        ),
        _LUNGS: ("the lungs are clear", "both lungs are clear", "the lungs are clear bilaterally"),
        _PLEURA: ("the pleural spaces are clear", "there is no pleural abnormality"),
        ("Consolidation", "Pneumonia"): ("no focal airspace disease",),
        _LUNGS + _PLEURA: ("the lungs and pleural spaces are clear",),
    },
    Register.SHORT: {
        _HEART: ("heart and mediastinum nl", "CM silhouette WNL"),
        _LUNGS: ("lungs clear", "lungs CTA"),
        _PLEURA: ("pleural spaces clear",),
        _LUNGS + _PLEURA: ("lungs and pleura clear",),
    },
    Register.OTHER: {
        _HEART: ("the heart and mediastinal shadows are of ordinary size",),
        _LUNGS: ("the lung fields are of ordinary appearance",),
        _PLEURA: ("the pleural reflections are of ordinary appearance",),
    },
}
NORMAL_IMPRESSION = {
    Style.PROSE: (
        "no acute cardiopulmonary abnormality",
        "no acute disease in the chest",
        "no acute cardiopulmonary process",
        "unremarkable chest radiograph",
    ),
    Style.TELEGRAPHIC: ("no acute dz", "NAD", "nl chest"),
    Style.LIST: ("no acute cardiopulmonary abnormality", "negative chest", "no acute findings"),
    Style.HEADED: ("no acute cardiopulmonary process", "no acute radiographic abnormality"),
    Style.OTHER: ("in summary, nothing of concern", "in my opinion, a healthy chest"),
}
_SHARED = (
    "comparison is made with the prior study",
    "no prior study is available for comparison",
    "the upper abdomen is unremarkable",
    "no free air is seen under the diaphragm",
    "the trachea is midline",
    "the soft tissues are unremarkable",
    "clinical correlation is recommended",
    "the visualized upper abdomen is normal",
    "no significant interval change",
)
IDLE = {
    Style.PROSE: (
        *_SHARED,
        "compared with the prior study, there is little change",
        "the examination is compared with the prior radiograph",
        "there has been no change in the interval",
        "the hilar contours are normal",
        "the findings were discussed with the team",
        "the patient is slightly rotated",
        "the aorta is tortuous",
        "calcification of the aortic arch is noted",
        "degenerative changes of the spine are noted",
        "a follow up radiograph is recommended",
        "this report was dictated with voice recognition software",
        "the report was electronically signed",
        "overlying clothing limits the examination",
    ),
    Style.TELEGRAPHIC: (
        "no sig change",
        "c/w prior",
        "no prior for comparison",
        "trachea midline",
        "hila nl",
        "abd nl",
        "no free air",
        "degen spine",
        "tortuous aorta",
        "f/u as needed",
        "clin corr",
        "d/w team",
        "dictated, not read",
        "exam limited",
    ),
    Style.LIST: (
        *_SHARED,
        "aortic calcification",
        "stable degenerative spine",
        "no relevant prior",
        "hilar contours are normal",
        "technically adequate study",
        "follow up as clinically indicated",
        "electronically signed",
        "report dictated by voice recognition",
    ),
    Style.HEADED: (
        "prior study: for comparison",
        "upper abdomen: unremarkable",
        "trachea: midline",
        "soft tissues: unremarkable",
        "hila: normal",
        "aorta: tortuous",
        "spine: degenerative change",
        "other: none",
        "quality: adequate for reading",
        "diaphragm: no free air",
        "interval change: none",
        "signature: electronic",
    ),
    Style.OTHER: (
        "thank you for referring this patient",
        "I have looked at the earlier film too",
        "the gastric bubble is where it ought to be",
        "the great vessels show the wear of age",
        "further films would be welcome",
        "I have spoken to the ward",
        "the film is slightly over penetrated",
        "typed but not yet checked",
        "little has altered since last time",
    ),
}
# Normal reports that authors paste, and edit where something is there: (sentence, what it denies).
TEMPLATES = {
    Style.PROSE: (
        (
            ("the cardiomediastinal silhouette is normal", _HEART),
            ("the lungs are clear", _LUNGS),
            ("there is no pleural effusion or pneumothorax", ("Pleural Effusion", "Pneumothorax")),
            ("the osseous structures are intact", _BONES),
        ),
        (
            ("the heart is normal in size", ("Cardiomegaly",)),
            ("the mediastinal contours are normal", ("Enlarged Cardiomediastinum",)),
            ("the lungs are clear", _LUNGS),
            ("no pleural effusion or pneumothorax is identified", _PLEURA[:2]),
        ),
        (
            ("heart size is within normal limits", ("Cardiomegaly",)),
            ("no focal airspace disease", ("Consolidation", "Pneumonia")),
            ("no pleural effusion or pneumothorax is identified", _PLEURA[:2]),
            ("the bones are unremarkable", _BONES),
        ),
    ),
    Style.TELEGRAPHIC: (
        (("heart size nl", ("Cardiomegaly",)), ("lungs clear", _LUNGS), ("no PTX", _PLEURA[:1])),
        (("heart and mediastinum nl", _HEART), ("no effusion or PTX", _PLEURA[:2])),
    ),
    Style.LIST: (
        (
            ("the heart and mediastinum are within normal limits", _HEART),
            ("the lungs are clear", _LUNGS),
            ("negative for pleural effusion or pneumothorax", _PLEURA[:2]),
        ),
    ),
    Style.HEADED: (
        (
            ("heart and mediastinum: normal", _HEART),
            ("lungs: clear", _LUNGS),
            ("pleura: no effusion or pneumothorax", _PLEURA[:2]),
            ("bones: intact", _BONES),
        ),
        (
            ("heart: normal", ("Cardiomegaly",)),
            ("lungs: no consolidation or pneumonia", ("Consolidation", "Pneumonia")),
            ("pleura: no effusion or pneumothorax", _PLEURA[:2]),
        ),
    ),
    Style.OTHER: (
        (
            ("the heart and mediastinal shadows are of ordinary size", _HEART),
            ("the lung fields are of ordinary appearance", _LUNGS),
            ("the skeleton is sound", _BONES),
        ),
    ),
}
