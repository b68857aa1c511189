#!/usr/bin/env python3
"""Draws a picture with the model in the box, saves it, and asks what is on it: leon from Python, by ctypes alone.

    make shared
    LD_LIBRARY_PATH=build python3 examples/draw.py models/storybook.leon "a car on a sandy beach" car.png

After `make install` (and ldconfig) no LD_LIBRARY_PATH is needed. The structures mirror include/leon.h.
"""
import ctypes as c
import sys

leon = c.CDLL("libleon.so")


class Error(c.Structure):
    _fields_ = [("message", c.c_char * 512)]


class Picture(c.Structure):
    _fields_ = [("width", c.c_int32), ("height", c.c_int32), ("rgb", c.POINTER(c.c_uint8))]


class Request(c.Structure):
    _fields_ = [("task", c.c_char_p), ("text", c.c_char_p), ("picture", c.POINTER(Picture)),
                ("mask", c.POINTER(Picture)), ("box", c.c_char_p), ("grow", c.c_char_p), ("kind", c.c_char_p),
                ("objects", c.c_char_p), ("sign", c.c_char_p), ("size", c.c_char_p)]


leon.leon_result_text.restype = c.c_char_p
leon.leon_result_score.restype = c.c_double
model, error = c.c_void_p(), Error()


def checked(status):
    if status != 0:
        sys.exit(error.message.decode())


def run(**request):
    """The result of a request with default options. It is freed with the program."""
    result = c.c_void_p()
    checked(leon.leon_run(model, c.byref(Request(**request)), None, c.byref(result), c.byref(error)))
    return result


if len(sys.argv) != 4:
    sys.exit(f"usage: {sys.argv[0]} MODEL TEXT OUTPUT.png")
path, text, output = (word.encode() for word in sys.argv[1:])
checked(leon.leon_open(path, b"cpu", c.byref(model), c.byref(error)))

drawn, picture = run(task=b"draw", text=text), Picture()
leon.leon_result_picture(drawn, 0, c.byref(picture))
checked(leon.leon_save_picture(output, c.byref(picture), c.byref(error)))

answer = run(task=b"ask", picture=c.pointer(picture), text=b"Where is it?")
print("Where is it?", leon.leon_result_text(answer, 0).decode(), f"({leon.leon_result_score(answer, 0):.2f})")
