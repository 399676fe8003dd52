"""A machine-learning project: data in, a judged and packaged model out."""
