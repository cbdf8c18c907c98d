"""PhantomCXR: synthetic chest radiographs and reports whose truth is known exactly.

Nothing here is a patient. Pictures follow the radiological convention: the patient's right side is
on the image's left. Places are given in unit coordinates (x to the right, y down, both 0..1 over
the image), sides by the patient's own left and right.
"""

# Changes whenever the same seed gives other pixels or other words.
VERSION = "3.3.0"
