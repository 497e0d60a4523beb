set -e
cp "$(dirname "$0")/../trainer.cpp" .
${CXX} -std=c++${STANDARD} -O2 $(pkg-config --cflags distill) trainer.cpp -o your_trainer
./your_trainer
