set -e
cp "$(dirname "$0")/../trainer.cpp" .
${CXX} -std=c++${STANDARD} -O2 -I ${DISTILL}/include -I ${XSIMD}/include trainer.cpp -o your_trainer
./your_trainer
