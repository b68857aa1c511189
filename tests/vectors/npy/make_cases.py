#!/usr/bin/env python3
"""Writes the .npy test vectors beside this file, with numpy itself: python3 make_cases.py"""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
VALUES = np.array([[0, 1, -2], [3, 100, -128]])

np.save(HERE / "f4.npy", (VALUES / 8).astype("<f4"))
np.save(HERE / "f8.npy", (VALUES / 8).astype("<f8"))
np.save(HERE / "i4.npy", VALUES.astype("<i4"))
np.save(HERE / "i8.npy", VALUES.astype("<i8"))
np.save(HERE / "u1.npy", np.abs(VALUES).astype("|u1"))
np.save(HERE / "scalar.npy", np.array(2.5, "<f4"))
np.save(HERE / "vector.npy", np.arange(5, dtype="<i4"))
np.save(HERE / "empty.npy", np.zeros((0, 3), "<f4"))
np.lib.format.write_array(open(HERE / "version_2.npy", "wb"), VALUES.astype("<i4"), version=(2, 0))

np.save(HERE / "bad_big_endian.npy", VALUES.astype(">f4"))
np.save(HERE / "bad_fortran.npy", np.asfortranarray(VALUES.astype("<f4")))
np.save(HERE / "bad_half.npy", VALUES.astype("<f2"))
np.save(HERE / "bad_object.npy", np.array([{"a": 1}], dtype=object))
np.save(HERE / "bad_records.npy", np.zeros(2, dtype=[("x", "<f4"), ("y", "<i4")]))
np.save(HERE / "bad_text.npy", np.array(["leon"]))
