"""Turns a checkpoint into a model bundle: conversion, quantisation, parity, writing."""
