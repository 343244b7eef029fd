# Layer 4: a folder of many small files. What these depend on is taken as it was on that day.
mkdir -p /srv/app
cd /srv/app
npm install --no-audit --no-fund --no-update-notifier --ignore-scripts --cache /tmp/npm --before=2025-01-01 \
    typescript@5.7.2 webpack@5.97.1 lodash@4.17.21 three@0.171.0 date-fns@4.1.0 react-dom@19.0.0
