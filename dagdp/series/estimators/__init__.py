"""Estimators of scikit-learn: k-means, k-medoids, nearest neighbours. Importing them needs scikit-learn."""
