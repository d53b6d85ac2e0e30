def train(threads): return ()
predict = memory = train
